"""Partita"""
